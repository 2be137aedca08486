"""Latency predicted for networks that were never run, from those that a calibration measured."""
