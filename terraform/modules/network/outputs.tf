output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "Its addresses."
  value       = aws_vpc.this.cidr_block
}

output "private_subnet_ids" {
  description = "One in each of three zones."
  value       = [for zone in local.zones : aws_subnet.private[zone].id]
}

output "s3_cidrs" {
  description = "What S3 in this region is reached at, through the VPC's endpoint."
  value       = aws_vpc_endpoint.gateway["s3"].cidr_blocks
}
