"""The actions of the controls and forms under a post."""
