"""Accounts, and a page where users see their devices and sign them out.

See docs/how-to/devices.md.
"""
