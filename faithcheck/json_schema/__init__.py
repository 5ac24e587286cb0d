"""`faithcheck schema`: JSON Schema (draft 2020-12) of the files that users write and of result.json, for editors."""
