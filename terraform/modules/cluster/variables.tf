variable "name" {
  type        = string
  description = "Name of the cluster."
}

variable "kubernetes_version" {
  type        = string
  description = "Minor version, such as 1.34."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Private subnets."
}

variable "kms_key_arn" {
  type        = string
  description = "Encrypts secrets, volumes, logs and images."
}

variable "admin_role_arns" {
  type        = list(string)
  description = "Roles that administer the cluster."
}

variable "admin_cidrs" {
  type        = list(string)
  description = "From where its API can be reached over the internet; empty: from the VPC alone."
}

variable "node_groups" {
  type = map(object({
    instance_types = list(string)
    min            = number
    max            = number
    disk_gib       = number
    spot           = bool
    gpu            = bool
  }))
  description = "By name, which is also the value of the label and the taint headrace/pool."
}

variable "disposable" {
  type        = bool
  description = "Can be destroyed."
}
