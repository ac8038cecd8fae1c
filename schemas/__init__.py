"""The shared language: Study, Session, Subject, drug log, epochs, units, tables, issues and errors."""
