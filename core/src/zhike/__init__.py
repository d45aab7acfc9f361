"""Zhike 知客, a customer operations platform: import what a plugin needs from the public modules beside this one."""

__version__ = "0.1.0.dev0"
