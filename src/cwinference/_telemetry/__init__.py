"""Spans and metrics of calls, for OpenTelemetry. It is loaded only for those who ask for `Telemetry`."""
