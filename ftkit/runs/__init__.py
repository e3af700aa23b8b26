"The run folder: its files, the process that works on it, its checkpoints, its scores, and how two compare."
