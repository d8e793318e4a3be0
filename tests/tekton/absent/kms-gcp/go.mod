module absent/kms-gcp

go 1.24.0
