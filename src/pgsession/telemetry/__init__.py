"""Telemetry: what happens to sessions, as metrics and spans of OpenTelemetry.

This is the only room that knows the OpenTelemetry API, and only its modules below `choice` import
it: the package may be missing.
"""
