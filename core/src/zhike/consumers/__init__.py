"""Consumers: plugins that are given the log, each at its own pace and each batch exactly once."""
