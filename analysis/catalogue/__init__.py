"""The local catalogue of archives, and finding recordings in it by drug."""
