"""Speech with known phone times, as shards: synthesizers, recorded prompts, and a folder of real speech."""
