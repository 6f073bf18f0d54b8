"""The streaming form of full attention: exact, without the 7-D tensor of separate responses."""
