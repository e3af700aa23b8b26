"What surrounds the Trainer: the hardware, the order of the rows, the callbacks."
