-- One fact about this file.
INSERT INTO taskmill_meta (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
