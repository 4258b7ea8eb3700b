"""One experiment to its end, in the order in which a run goes through it.

experiment.py      what a run is, and its stages; presets.py: what each None stands for
choose_device.py   device.py, distributed.py, engine.py: where and how it computes
build.py           data, pipeline, model and first weights of a stage; feed.py: its batches
training.py        the loop; state.py: one step, one epoch; clock.py, signals.py; events.py: what it yields
stage_folder.py    its folder; checkpoints.py, environment.py
evaluate.py        the metrics; probes.py: k-NN and linear probe
finish.py          what a stage leaves; trained.py: a model given back; assets.py: those of the package
profile.py         where the time goes; flops.py
"""
