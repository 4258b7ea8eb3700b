"""try.html as a file: whole, small, closed; built from whatever models there are."""

import json
import re
from dataclasses import replace

import pytest
from site_fixtures import check_page

import relvit_lab
from relvit_lab.common.errors import RelvitError
from relvit_lab.method.model import RelViT
from relvit_lab.publish.site.try_page import write_try


def carried(page: str) -> dict:
    return json.loads(re.search(r'id="try-data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_is_one_file_that_loads_nothing(tmp_path):
    file = write_try(tmp_path)
    assert file.stat().st_size < 4e6
    check_page(file)
    page = file.read_text(encoding="utf-8")
    assert "connect-src" not in page and "default-src 'none'" in page and "index.html" not in page
    data = carried(page)
    assert data["models"][0]["name"] == "photographs, no places told" and not data["models"][0]["positions"]
    assert len(data["images"]) == 10 and {image["dataset"] for image in data["images"]} == {"photographs"}
    assert len(re.findall(r"\bid=\"", page)) == len(set(re.findall(r"\bid=\"([\w-]+)\"", page)))


def test_any_list_of_models(tmp_path):
    digits = relvit_lab.load("digits_tasks")
    data = carried(write_try(tmp_path, [digits, ("</script> mine", digits)]).read_text(encoding="utf-8"))
    assert [model["name"] for model in data["models"]] == ["digits, no places told", "</script> mine"]
    assert {image["dataset"] for image in data["images"]} == {"digits"} and len(data["images"]) == 8
    without = replace(digits, model=RelViT(digits.model.backbone, digits.model.tasks[1:]))
    for models in ([], [without]):
        with pytest.raises(RelvitError, match="for SpRel: name one that was trained on the task sprel"):
            write_try(tmp_path, models)
