"One file for each task: how its rows are read, its model loaded, its predictions scored."
