"""What knows nothing of RelViT.

errors.py        one message that says what to do; shortages.py: what the system says of disk and memory
options.py       the words of a command line as options; values.py: each brought to the type of its field
paths.py         where things are; files.py: whole files, regular ones, locks; weights_file.py: weights in one
sealed_json.py   JSON with a digest
registry.py      a list of named things; randomness.py: generators without state; stats.py: means, intervals, tests
table.py         tables of anything; words.py: times, rates, counts; document.py: the frame of an HTML page
printing.py      how the package prints; shown_names.py: no control codes, names that look the same told apart
process.py       this process: its memory, which of several it is; signals.py: those that end it
source_text.py   what a function does, as text; feature_classifiers.py: nearest neighbours, a linear classifier
compute/         devices, one or several; what a processor can do; torch.compile
"""
