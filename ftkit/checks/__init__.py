"Checks on data, without torch and transformers; `preflight` checks a whole plan before its training, and needs both."
