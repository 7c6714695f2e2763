module go-habits

go 1.24

require example.com/customer-tier v0.0.0

replace example.com/customer-tier => ../../examples/write-a-plugin/go
