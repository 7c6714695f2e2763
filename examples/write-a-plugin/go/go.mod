module example.com/customer-tier

go 1.24
