"""The paper's numbers, and runs beside them.

numbers.py   Tables 1 to 5 as printed; slips.py: where they do not agree; ablation.py: Table 4 as an experiment
plan/        which runs a table needs (cells.py), what they cost, the sweep of them
tables/      numbers.py: the paper's and ours side by side; text, HTML, files; deviations from the text
figures/     figure_1.py ... figure_4.py, images_seen.py; draw.py writes the files
records/     runs on record (results/): small_study.py at laptop scale, whole_study.py on all of
             CIFAR-10; report.py their page
"""
