"Checks on data that need neither torch nor transformers."
