variable "name" {
  type        = string
  description = "Name of the replication group."
}

variable "vpc_id" {
  type        = string
  description = "Where it is."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Private subnets, in two zones at least."
}

variable "nodes_security_group_id" {
  type        = string
  description = "Who may connect."
}

variable "node_type" {
  type        = string
  description = "ElastiCache node type."
}

variable "auth_token" {
  type        = string
  sensitive   = true
  description = "The password."
}

variable "kms_key_arn" {
  type        = string
  description = "Encrypts it at rest."
}
