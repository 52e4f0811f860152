"""cdc.yaml as frozen models, and how it is loaded: files, `${VAR}`, `CDC_` environment, `--set`, origins."""
