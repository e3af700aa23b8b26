"Files on disk: tables of rows, settings files, atomic writes, and checks on folders from strangers."
