output "host" {
  description = "The primary's name, which follows a failover."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}

output "cluster_ids" {
  description = "Its nodes, as CloudWatch names them."
  value       = [for number in ["001", "002"] : "${var.name}-${number}"]
}
