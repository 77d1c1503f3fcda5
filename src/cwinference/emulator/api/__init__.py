"""The emulated management API: functions on a store whose content changes as time passes, independent of protocols."""
