"""Runs the engine out of its wheel, in a process of its own, until that is ended: `python engine.py FOLDER`.

It has no port, only the socket FOLDER/run/sql.sock. In a new folder it makes the database and the users of the tests.
"""

import signal
import sys

import pylibseekdb

engine = pylibseekdb.open(sys.argv[1])
connection = pylibseekdb.connect()
cursor = connection.cursor()
for statement in (
    "CREATE DATABASE IF NOT EXISTS vectors",
    "CREATE USER IF NOT EXISTS dify IDENTIFIED BY 'password-of-the-tests'",
    "CREATE USER IF NOT EXISTS guest IDENTIFIED BY 'password-of-the-tests'",
    "GRANT ALL ON vectors.* TO dify",
    "GRANT SELECT ON vectors.* TO guest",
):
    cursor.execute(statement)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
connection.close()
engine.close()
