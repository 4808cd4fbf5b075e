"""The rules that give training its targets: phones and sound in, ARKit weights out."""
