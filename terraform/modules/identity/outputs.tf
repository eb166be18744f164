output "role_arns" {
  description = "By process and controller, for annotations of service accounts."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}
