"""One experiment to its end, in the order in which a run goes through it.

experiment.py      what a run is, and its stages; presets.py: what each None stands for
build.py           data, pipeline, model and first weights of a stage
training.py        the loop; state.py: one step, one epoch; clock.py; events.py: what it yields
engine.py          how it computes: precision, attention, compiled or not
stage_folder.py    its folder; shared_folder.py: of several processes; environment.py: what it was made with
evaluate.py        the metrics; probes.py: k-NN and linear probe
finish.py          what a stage leaves; trained.py: a model given back; assets.py: those of the package
profile.py         where the time goes; flops.py
"""
