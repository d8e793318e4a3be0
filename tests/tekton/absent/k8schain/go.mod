module k8schain
go 1.24.0
