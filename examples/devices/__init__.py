"""Accounts, and a page where users see their devices and sign them out. See docs/devices.md."""
