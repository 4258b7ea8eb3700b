"""What the notebooks ask and show, a folder a notebook: exercises.py (what is asked, and which mistake an answer is),
predictions.toml, pictures.py, and its explorer (explorer.py and .js, explorer_data.py, explorer_figure.py: the same on
paper).

01 patch_relations/    the relations explorer; guess.py: the game
02 mega_patches/       drag the cuts
03 attention_scores/   scores and attention, token by token
04 train/              its one prediction; the rest is train/ and show/ of the package
05 pe_shortcut/        leaks.py, backbone_leaks.py: where position leaks; faults.py: runs that went wrong; lab.py and
                       live_training.py: the shortcut lab
06 task_ablation/      07 paper_tables/: their pictures and tables are paper/'s
08 own_task/           checkup.py: is a task a shortcut?; runs.py: its recorded comparison
ask/                   predict, check and progress, for all of them
"""
