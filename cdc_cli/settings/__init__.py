"""cdc.yaml as frozen models, and how it is loaded: file, `${VAR}`, `CDC_` environment, `--set`, and origins."""
