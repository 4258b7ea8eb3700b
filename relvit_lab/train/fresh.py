"""fresh=True: what an earlier invocation left is cleared, once. A run that was begun anew and stopped goes on."""

import time

from relvit_lab.train.stage_folder import RunFolder


class Fresh:
    """last: the folder of the run's last stage, which keeps when the run was begun anew. asked: fresh=True."""

    def __init__(self, last: RunFolder, asked: bool):
        self.last, self.now = last, time.time_ns()
        self.asked, self.since = asked, last.fresh_since() if asked else None

    def clears(self, folder: RunFolder) -> bool:
        """Whether what is in a stage's folder is from before."""
        return self.asked and folder.is_older(self.now if self.since is None else self.since)

    def begin(self) -> None:
        """Once a stage of the run is about to be trained."""
        if self.asked and self.since is None:
            self.since = self.now
            self.last.begin_fresh(self.now)
