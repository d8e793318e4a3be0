module absent/kms-azure

go 1.24.0
