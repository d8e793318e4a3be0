module absent/kms-aws

go 1.24.0
