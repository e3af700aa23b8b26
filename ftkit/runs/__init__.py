"The run folder: its files, the process that works on it, its checkpoints, its scores, and the comparison of two of them."
