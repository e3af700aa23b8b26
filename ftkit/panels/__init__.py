"""Panels: ipywidgets over `Settings` and run folders.

They start `ftkit train` as a child process and read what it writes; they never train themselves. What loads torch
happens in a second child, the worker. To add a view of a run: a function that takes a `RunFolder` and returns HTML,
and a row in `ftkit.panels.result.PARTS`. To add a section: a subclass of `View` and a row in
`ftkit.panels.panel.VIEWS`.
"""
