"""Where and how tensors are computed.

device.py        a device and its precision; choose_device.py: the one that is asked for, or the best there is
distributed.py   several devices, each in a process of its own
processor.py     what a CPU can multiply; compiler.py: torch.compile
host.py          the CPU beside a device
throughput.py    what a device could reach; flop_count.py: what a model takes
"""
