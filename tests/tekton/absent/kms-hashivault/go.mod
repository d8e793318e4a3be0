module absent/kms-hashivault

go 1.24.0
