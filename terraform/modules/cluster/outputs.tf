output "name" {
  description = "Name of the cluster."
  value       = aws_eks_cluster.this.name
}

output "nodes_security_group_id" {
  description = "Of all nodes and pods."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "oidc_provider_arn" {
  description = "Whose tokens roles accept."
  value       = aws_iam_openid_connect_provider.this.arn
}

output "oidc_issuer" {
  description = "Its name, without https://."
  value       = replace(aws_eks_cluster.this.identity[0].oidc[0].issuer, "https://", "")
}

output "repositories" {
  description = "Image repositories by component."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}
