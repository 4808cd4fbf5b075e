"""The rules that give training its targets: phones in, motion out."""
