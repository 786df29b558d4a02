"""Power cuts, played from a recording: what was answered is on the disk, whatever part of the rest is."""
