"""What people see, for any task.

style.py        what all pictures share; lettering.py, diagram.py
relations.py    what a model says about patches, beside what is true; task_panels.py, task_views.py: of any task
curves.py       a run, epoch by epoch; run_pictures.py: at its end; summary.py: its table
follow.py       a run while it goes on: faces.py in a terminal, follow_live.py in a notebook; wording.py
own_image.py    an image of one's own; photographs.py: two that are here; model_input.py: as a model sees it
still.py        what a widget leaves where it is not alive; in_page/: the same model in a browser
"""
