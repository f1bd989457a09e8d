"""What the controls and forms under a post do."""
