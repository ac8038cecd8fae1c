"""Work on files: folders of results, and analyses run from a plan."""
